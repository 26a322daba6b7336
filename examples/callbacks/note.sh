#!/bin/sh
# Gets one event, a JSON object on a line of its own, and keeps it beside the run's record.
cat >>"$PLUSH_RUN_DIR/events.jsonl"
