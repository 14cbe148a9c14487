"""Grafana: dashboards from code, written to files for provisioning or put there through its HTTP API.

``queries`` and ``dashboards`` say what is shown, ``provisioning`` makes files of it, ``client`` speaks to Grafana, and
``visualizer`` has it show what a board asks for.
"""
