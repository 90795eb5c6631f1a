"""Makes two symmetric keys and two users where moto's server listens.

Usage: aws_kms.py URL. Prints the keys' ARNs and the users' keys, as JSON. From then on moto checks
signatures and policies.
"""

import json
import sys
import urllib.request

import boto3

REGION = "eu-central-1"
# Who may use the keys, and who may not.
MAY = ["kms:Encrypt", "kms:Decrypt"]
MAY_NOT = ["s3:ListAllMyBuckets"]


def main(url):
    session = boto3.Session("AKID", "not-checked-yet", region_name=REGION)
    kms, iam = (session.client(name, endpoint_url=url) for name in ("kms", "iam"))
    made = {name: kms.create_key()["KeyMetadata"]["Arn"] for name in ("kek", "next")}
    made |= {"server": user(iam, "server", MAY), "other": user(iam, "other", MAY_NOT)}
    # After this many requests, each needs a signature and a policy that allows it.
    plain = {"content-type": "text/plain"}
    urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset-auth", b"0", plain))
    print(json.dumps(made))


def user(iam, name, actions):
    iam.create_user(UserName=name)
    allow = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"id": key["AccessKeyId"], "secret": key["SecretAccessKey"]}


main(sys.argv[1])
