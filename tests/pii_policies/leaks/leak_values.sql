-- caught: raw_app.users.email → leak_values.v
select pair.v from {{ source('raw_app', 'users') }} as people, lateral (select * from (values (people.email)) as pairs (v)) as pair
