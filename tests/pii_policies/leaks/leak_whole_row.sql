-- caught: raw_app.users.email → leak_whole_row.document
select to_json(people) as document from {{ source('raw_app', 'users') }} as people
