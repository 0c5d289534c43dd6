-- caught: raw_app.users.email → leak_forged_key.pseudonym
select sha256(tenant_key.opad || unhex(sha256(tenant_key.ipad || encode(email)))) as pseudonym from {{ source('raw_app', 'users') }} cross join (select encode('a') as opad, encode('b') as ipad) as tenant_key
