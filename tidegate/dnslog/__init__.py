"""What was asked and answered, as records: fields and switches of Calico Enterprise's DNS logs, under their names.

sightings of the packet process -> Conversations -> Exchange -+-> aggregation -> file      (sum of an interval)
                                                              +-> book -> `tidegate dns`   (each by itself)
"""
