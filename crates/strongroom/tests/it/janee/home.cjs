// Writes the credentials.json of a Janee home, sealed the way that Janee seals: AES-256-GCM, and
// base64 of iv (12), tag (16) and ciphertext. Reads {"masterKey"?, "secrets": {service: {field: text}}}
// and prints the file.
const crypto = require("crypto");

const input = JSON.parse(require("fs").readFileSync(0, "utf8"));
const key = input.masterKey ? Buffer.from(input.masterKey, "base64") : crypto.randomBytes(32);

function seal(text) {
  const iv = crypto.randomBytes(12);
  const cipher = crypto.createCipheriv("aes-256-gcm", key, iv);
  const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
  return Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString("base64");
}

const each = (value) =>
  typeof value === "string"
    ? seal(value)
    : Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, each(inner)]));

const file = { masterKey: key.toString("base64"), secrets: each(input.secrets) };
process.stdout.write(JSON.stringify(file, null, 2));
