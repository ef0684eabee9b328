"""How answers are judged: truth, scores, intervals, reliability, comparison. Pure: no services, no printing.

Only `truth.py` opens a file (`truth.json`, after every answer is in) and `saved.py` another (what `--save` wrote).
"""
