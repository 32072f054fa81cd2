"""Flow records: who talked to whom, how much, and why it was allowed or denied.

    conntrack's events ----+
    conntrack's table -----+--> collector: FlowTable --window--> recorder: directory, tracer --> store (SQLite)
    copies of what is denied                                                                        |
                                                             `tidegate flows`, `tidegate top` <-----+

Pure: `table` (events in, totals out), `directory` (who is at an address), `tracer` (why), `assembly` (totals to
records), `record`, `question`. Nothing here is in the way of a packet: what cannot be kept up with is lost and counted,
and the count is a record in the stream.
"""
