"""Every Redis key of the services (the queue's own are in asperathos_worker.queue). One prefix: ``asp:``.

=============================  =======  ==========================================================
asp:rec:<kind>:<id>            hash     a record: ``v`` version, ``d`` JSON
asp:ids:<kind>                 zset     ids by time of creation
asp:active:<kind>              set      ids that still need attention
asp:journal:<stream>:<id>      stream   entries, field ``d`` JSON
asp:lease:<name>               string   "<fencing token> <owner>", with expiry
asp:fence                      string   counter: the last fencing token
asp:wake:<service>             list     ids to look at now, bounded, for an hour after the last
asp:claim:<name>               string   what the first comer gave it, with expiry
asp:tries:<name>               string   attempts counted, forgotten a while after the first
asp:text:<id>                  hash     kept texts by name
asp:metrics:<id>               stream   metric points of a submission
asp:board:<kind>:<name>        hash     entries by id, JSON, for a day after the last
=============================  =======  ==========================================================
"""

from __future__ import annotations


def record(kind: str, id: str) -> str:
    return f"asp:rec:{kind}:{id}"


def ids(kind: str) -> str:
    return f"asp:ids:{kind}"


def active(kind: str) -> str:
    return f"asp:active:{kind}"


def journal(stream: str, id: str) -> str:
    return f"asp:journal:{stream}:{id}"


def lease(name: str) -> str:
    return f"asp:lease:{name}"


def fence() -> str:
    return "asp:fence"


def wake(service: str) -> str:
    return f"asp:wake:{service}"


def claim(name: str) -> str:
    return f"asp:claim:{name}"


def tries(name: str) -> str:
    return f"asp:tries:{name}"


def text(id: str) -> str:
    return f"asp:text:{id}"


def metrics(id: str) -> str:
    return f"asp:metrics:{id}"


def board(kind: str, name: str) -> str:
    return f"asp:board:{kind}:{name}"
