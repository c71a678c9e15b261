"""The four scenarios played on a real server, with the evidence of who stamped what."""
