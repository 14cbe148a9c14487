"""What the law ``latency`` is made of: candidate rules, and a rehearsal of each on the arrivals that were really seen.

``lateness`` says which waits miss the target, ``rules`` how many replicas a rule asks for, ``plant`` what would become
of a queue with so many, ``rehearsal`` keeps each rule's account of lateness and cost and picks one.
"""
