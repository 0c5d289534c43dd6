-- caught: raw_app.users.email → leak_own_hmac.pseudonym
with tenant_key as (select 'a' as opad, 'b' as ipad) select sha256(encode(tenant_key.opad) || unhex(sha256(encode(tenant_key.ipad) || encode(email)))) as pseudonym from {{ source('raw_app', 'users') }} cross join tenant_key
