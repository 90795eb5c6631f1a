// A window that is filled in, and one that is cancelled while it is awaited.
import { AsyncUIHandler } from 'mcp-secrets';

const template = {
  title: 'A window of ours',
  fields: [{ name: 'token', label: 'Token', field_type: 'password', required: true }],
};
const code = (promise) => promise.then(() => 'no error', (error) => error.code);
const handler = new AsyncUIHandler();
handler.start(template);
const answers = await handler.wait();
const again = (await handler.wait()) === answers;

const another = new AsyncUIHandler();
let refused = 'no error';
try {
  another.start({ ...template, color: 'red' });
} catch (error) {
  refused = error.code;
}
another.start(template);
const pending = code(another.wait());
await another.cancel();
const cancelled = await pending;

const length = answers.get('token').reveal().length;
console.log(JSON.stringify({ answers: [...answers], length, again, cancelled, refused }));
