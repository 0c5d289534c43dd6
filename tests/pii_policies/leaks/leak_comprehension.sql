-- caught: leak_comprehension: not proved: `comprehension`
select [each for each in string_split(email, '@')] as parts from {{ source('raw_app', 'users') }}
