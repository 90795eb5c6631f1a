"""Puts secrets, parameters and the keys of two users where moto's server listens.

Usage: aws.py URL. Prints the keys, as JSON. From then on moto checks signatures and policies.
"""

import json
import sys
import urllib.request

import boto3

# Who may read what is put here, and who may not.
MAY = ["secretsmanager:*", "ssm:*"]
MAY_NOT = ["s3:ListAllMyBuckets"]


def main(url):
    session = boto3.Session("AKID", "not-checked-yet", region_name="eu-central-1")
    secrets, parameters, iam = (
        session.client(name, endpoint_url=url) for name in ("secretsmanager", "ssm", "iam")
    )
    for number in range(25):
        secrets.create_secret(Name=f"many/{number}", SecretString=f"canary-many-{number}")
    both = json.dumps({"user": "u", "password": "canary-p"})
    secrets.create_secret(Name="app/db", SecretString=both)
    secrets.create_secret(Name="binary", SecretBinary=b"canary-b")
    secrets.create_secret(Name="deleted", SecretString="canary-of-the-deleted")
    secrets.delete_secret(SecretId="deleted", RecoveryWindowInDays=7)
    for number in range(12):
        name = f"/many/{number}"
        parameters.put_parameter(Name=name, Value=f"canary-many-{number}", Type="SecureString")
    parameters.put_parameter(Name="flat", Value="canary-flat", Type="String")
    keys = {"reader": user(iam, "reader", MAY), "other": user(iam, "other", MAY_NOT)}
    # After this many requests, each needs a signature and a policy that allows it.
    plain = {"content-type": "text/plain"}
    urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset-auth", b"0", plain))
    print(json.dumps(keys))


def user(iam, name, actions):
    iam.create_user(UserName=name)
    allow = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"id": key["AccessKeyId"], "secret": key["SecretAccessKey"]}


main(sys.argv[1])
