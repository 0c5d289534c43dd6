-- caught: raw_app.users.phone → leak_struct_opened.contact
select packed.contact as contact from (select struct_pack(kind := 'phone', contact := phone) as packed from {{ source('raw_app', 'users') }}) as packed_rows
