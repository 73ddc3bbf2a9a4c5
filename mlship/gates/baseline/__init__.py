"""The baseline: what live traffic is held against after the promotion, made from the rows that the gates have seen."""
