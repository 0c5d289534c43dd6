-- caught: raw_app.users.full_name → leak_unnest.word
select words.word from {{ source('raw_app', 'users') }} as people, unnest(string_split(people.full_name, ' ')) as words (word)
