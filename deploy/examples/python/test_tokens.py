"""The vectors of the contract: python3 -m unittest"""

import json
import unittest
from pathlib import Path

from tokens import dedup_id, order_token

VECTORS = json.loads((Path(__file__).parent / "../../../outbox/testdata/vectors.json").read_text())


class Vectors(unittest.TestCase):
    def test_order_tokens(self):
        for v in VECTORS["order_tokens"]:
            self.assertEqual(order_token(v["secret"].strip().encode(), v["key"]), v["token"])
        for secret in VECTORS["refused"]["order_secrets"]:
            self.assertRaises(ValueError, order_token, secret.strip().encode(), "MRN 1")
        for key in VECTORS["refused"]["order_keys"]:
            self.assertRaises(ValueError, order_token, b"0123456789abcdef", key)

    def test_ids_of_the_queue(self):
        for v in VECTORS["nats_msg_ids"]:
            if v["secret"]:
                self.assertEqual(dedup_id(v["secret"].strip().encode(), v["source"], v["message_id"]), v["nats_msg_id"])
