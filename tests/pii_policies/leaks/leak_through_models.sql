-- caught: raw_app.users.email → leak_rename.label → leak_through_models.tag
select label as tag from {{ ref('leak_rename') }}
