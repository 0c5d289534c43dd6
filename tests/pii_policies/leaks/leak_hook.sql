-- caught: leak_hook: not proved: a hook that does more than delete rows of the model's own
{{ config(post_hook="insert into {{ this }} select email from raw_app.users") }}
select 'x' as name
