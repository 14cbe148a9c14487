"""The ``asperathos`` command.

Law: it knows the services only as processes to start and as REST addresses to ask; it imports none of them.
"""
