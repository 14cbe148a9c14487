"""The worker side of Asperathos: the work queue, an SDK for handlers, and a runner for commands.

Law of this package: it imports the standard library and ``redis`` only, so that it fits into any image.
"""
