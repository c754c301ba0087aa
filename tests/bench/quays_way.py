"""Creates a policy as Quay does: through the object-relational layer that it uses, 500 rows at a time in
id order, Python's regex, one autocommit statement to mark and another to clear expiry.

usage: quays_way.py URL NAMESPACE PATTERN
"""

import json
import sys
import time
import uuid

import peewee
import regex
from playhouse.db_url import connect

BATCH = 500

DATABASE = peewee.DatabaseProxy()


class Row(peewee.Model):
    class Meta:
        database = DATABASE


class Repository(Row):
    namespace_user = peewee.IntegerField(column_name="namespace_user_id")


class Tag(Row):
    name = peewee.CharField()
    repository = peewee.ForeignKeyField(Repository)
    lifetime_end_ms = peewee.BigIntegerField(null=True)
    hidden = peewee.BooleanField()
    immutable = peewee.BooleanField()


class NamespaceImmutabilityPolicy(Row):
    uuid = peewee.CharField()
    namespace_id = peewee.IntegerField()
    policy = peewee.TextField()


def live_tags(namespace, after):
    now = int(time.time() * 1000)
    return (
        Tag.select(Tag.id, Tag.name, Tag.immutable)
        .join(Repository)
        .where(
            Repository.namespace_user == namespace,
            Tag.hidden == False,  # noqa: E712
            Tag.lifetime_end_ms.is_null() | (Tag.lifetime_end_ms > now),
            Tag.id > after,
        )
        .order_by(Tag.id)
        .limit(BATCH)
    )


def main(url, namespace, pattern):
    DATABASE.initialize(connect(url))
    NamespaceImmutabilityPolicy.create(
        uuid=str(uuid.uuid4()),
        namespace_id=namespace,
        policy=json.dumps({"tag_pattern": pattern, "tag_pattern_matches": True}),
    )
    compiled = regex.compile(pattern)
    last = 0
    while tags := list(live_tags(namespace, last)):
        last = tags[-1].id
        ids = [
            tag.id
            for tag in tags
            if not tag.immutable and compiled.fullmatch(tag.name, timeout=1.0)
        ]
        if ids:
            Tag.update(immutable=True).where(Tag.id << ids, Tag.immutable == False).execute()  # noqa: E712
            Tag.update(lifetime_end_ms=None).where(
                Tag.id << ids, Tag.lifetime_end_ms.is_null(False)
            ).execute()


main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
