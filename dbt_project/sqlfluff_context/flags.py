"""``flags`` as the project's macros know it, for sqlfluff: no build, so none of everything anew."""

FULL_REFRESH = False
