-- caught: raw_app.users.email → leak_lambda.parts
select list_transform([email], lambda each: upper(each)) as parts from {{ source('raw_app', 'users') }}
