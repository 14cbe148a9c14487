"""The controller: decides how many replicas a submission gets, and brings its Job there without harming work.

Law of the house: what decides is pure. ``laws`` turn a Situation into a Proposal, ``guard`` bounds any proposal,
``actuation`` plans the next move; none of them reads a clock or waits. ``loop`` is the only one that acts, and every
move it makes can be repeated after a crash, because the record says what is wanted and what was asked for.
"""
