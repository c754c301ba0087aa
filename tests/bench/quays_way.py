"""Creates a policy as Quay does: 500 rows at a time in id order, Python's regex, one autocommit
statement to mark and another to clear expiry. What Quay's object-relational layer takes is left out.

usage: quays_way.py URL NAMESPACE PATTERN
"""

import json
import sys
import uuid

import psycopg2
import regex

BATCH = 500


def main(url, namespace, pattern):
    connection = psycopg2.connect(url)
    connection.autocommit = True
    cursor = connection.cursor()
    policy = json.dumps({"tag_pattern": pattern, "tag_pattern_matches": True})
    cursor.execute(
        "INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy) VALUES (%s, %s, %s)",
        (str(uuid.uuid4()), namespace, policy),
    )
    compiled = regex.compile(pattern)
    last = 0
    while True:
        cursor.execute(
            """
            SELECT t.id, t.name
            FROM tag t JOIN repository r ON r.id = t.repository_id
            WHERE r.namespace_user_id = %s AND NOT t.hidden AND NOT t.immutable AND t.id > %s
                AND (t.lifetime_end_ms IS NULL
                    OR t.lifetime_end_ms > (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
            ORDER BY t.id
            LIMIT %s
            """,
            (namespace, last, BATCH),
        )
        rows = cursor.fetchall()
        if not rows:
            return
        last = rows[-1][0]
        ids = tuple(id for id, name in rows if compiled.fullmatch(name, timeout=1.0))
        if ids:
            cursor.execute("UPDATE tag SET immutable = true WHERE id IN %s", (ids,))
            cursor.execute(
                "UPDATE tag SET lifetime_end_ms = NULL WHERE id IN %s AND lifetime_end_ms IS NOT NULL",
                (ids,),
            )


main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
