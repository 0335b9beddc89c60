"""Annotation servers, one folder for each kind; `registry` is the table of them.

A provider's folder may import model, ports, errors, transport, pydantic and the modules beside it here, and never another
provider's folder. Those hold what is one idea on all servers: how a configuration says things (`settings`, `secrets`,
`forms`, `http`), how answers and working documents are read and what is wrong in them is placed (`answers`, `documents`,
`places`), which dataset is meant (`datasets`), how documents are read one by one (`reading`), and what is known of the
saves of a batch (`saving`).
"""
