// A client that a test leads: it starts a server over stdio and does what it reads, one JSON a line;
// what happens is printed the same way.
//
//   client.cjs ELICITS COMMAND [ARGUMENT..]      ELICITS is `elicits` or `does-not`
//
// Reads {"call": TOOL, "input": {..}}, {"answer": {..}} (to the open question), {"cancel": true} (the
// open call) and {"leave": true}. Prints {"ready": THE SERVER'S PID}, {"asked": PARAMS}, {"withdrawn": true},
// {"said": TEXT}, {"result": RESULT}, {"failed": TEXT}.
const readline = require('node:readline');
const { Client } = require('@modelcontextprotocol/sdk/client/index.js');
const { StdioClientTransport } = require('@modelcontextprotocol/sdk/client/stdio.js');
const types = require('@modelcontextprotocol/sdk/types.js');

const print = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

async function main() {
  const [elicits, command, ...args] = process.argv.slice(2);
  const capabilities = elicits === 'elicits' ? { elicitation: {} } : {};
  const client = new Client({ name: 'asked', version: '1' }, { capabilities });
  let answer;
  if (elicits === 'elicits') {
    client.setRequestHandler(types.ElicitRequestSchema, async ({ params }, { signal }) => {
      signal.addEventListener('abort', () => print({ withdrawn: true }));
      print({ asked: params });
      return new Promise((resolve) => (answer = resolve));
    });
  }
  client.setNotificationHandler(types.LoggingMessageNotificationSchema, ({ params }) => {
    print({ said: JSON.stringify(params.data) });
  });
  const transport = new StdioClientTransport({ command, args, env: process.env });
  await client.connect(transport);
  print({ ready: transport.pid });
  let call = new AbortController();
  const orders = {
    call: (name, { input }) => {
      call = new AbortController();
      client
        .callTool({ name, arguments: input ?? {} }, undefined, { signal: call.signal })
        .then((result) => print({ result }))
        .catch((error) => print({ failed: error.message }));
    },
    answer: (content) => answer(content),
    cancel: () => call.abort(),
    leave: () => client.close().then(() => process.exit(0)),
  };
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    const [name] = Object.keys(order);
    orders[name](order[name], order);
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
