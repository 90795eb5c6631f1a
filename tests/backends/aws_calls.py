"""What the broker's calls to moto's server need beforehand, and what they left there.

Usage: aws_calls.py put URL. Makes a bucket, a queue, an address and two sets of keys, and prints
them as JSON. From then on moto checks signatures and policies.
Usage: aws_calls.py read URL KEYS, where KEYS is what `put` printed. Prints as JSON what is there.
"""

import json
import sys
import urllib.request

import boto3

REGION = "eu-central-1"
ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}],
}


def put(url):
    session = boto3.Session("AKID", "not-checked-yet", region_name=REGION)
    client = lambda name: session.client(name, endpoint_url=url)
    client("s3").create_bucket(
        Bucket="notes", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    queue = client("sqs").create_queue(QueueName="jobs")["QueueUrl"]
    client("ses").verify_email_identity(EmailAddress="me@example.com")
    iam = client("iam")
    iam.create_user(UserName="agent")
    iam.put_user_policy(UserName="agent", PolicyName="all", PolicyDocument=json.dumps(ALL))
    key = iam.create_access_key(UserName="agent")["AccessKey"]
    role = iam.create_role(RoleName="worker", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    iam.put_role_policy(RoleName="worker", PolicyName="all", PolicyDocument=json.dumps(ALL))
    lent = client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="session")["Credentials"]
    # After this many requests, each needs a signature and a policy that allows it.
    plain = {"content-type": "text/plain"}
    urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset-auth", b"0", plain))
    print(
        json.dumps(
            {
                "queue": queue,
                "user": [key["AccessKeyId"], key["SecretAccessKey"]],
                "role": [lent["AccessKeyId"], lent["SecretAccessKey"], lent["SessionToken"]],
            }
        )
    )


def read(url, keys):
    session = boto3.Session(*keys["user"], region_name=REGION)
    client = lambda name: session.client(name, endpoint_url=url)
    s3, sqs = client("s3"), client("sqs")
    found = s3.list_objects_v2(Bucket="notes").get("Contents", [])
    objects = {}
    for name in [entry["Key"] for entry in found]:
        answer = s3.get_object(Bucket="notes", Key=name)
        objects[name] = [answer["Body"].read().decode(), answer["ContentType"]]
    received = sqs.receive_message(QueueUrl=keys["queue"], MaxNumberOfMessages=10)
    messages = sorted(message["Body"] for message in received.get("Messages", []))
    sent = client("ses").get_send_quota()["SentLast24Hours"]
    print(json.dumps({"objects": objects, "messages": messages, "mails": int(sent)}))


if sys.argv[1] == "put":
    put(sys.argv[2])
else:
    read(sys.argv[2], json.loads(sys.argv[3]))
