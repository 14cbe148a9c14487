"""Reports of submissions: made when asked for, from what is kept of them, in several forms.

Law: nothing here is stored. ``gathering`` reads; all other modules are pure.
"""
