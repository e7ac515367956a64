"""What values and names of a checkpoint look like, and whether that is right.

`statistics` reads values once and measures them; `fold` puts repeated layers on one line; `lint`
compares what was measured with what is expected, by limits that `limits` derives, and `faults`
names the mistake that explains a wrong deviation. Imports go down in this order: `lint` uses the
others.
"""
