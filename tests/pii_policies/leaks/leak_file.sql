-- caught: leak_file: not proved: table function `read_text`
select * from read_text('/etc/hostname')
