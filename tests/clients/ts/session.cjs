// One session with the broker by the official TypeScript SDK. Prints what it saw as JSON; the test
// that started it judges. Where ANSWERS is a list of words, the client shows forms and gives these as
// the user's decisions, in turn.
//
//   session.cjs stdio COMMAND [ARGUMENT..]      session.cjs http URL TOKEN
const { Client } = require('@modelcontextprotocol/sdk/client/index.js');
const { ElicitRequestSchema } = require('@modelcontextprotocol/sdk/types.js');
const { StdioClientTransport } = require('@modelcontextprotocol/sdk/client/stdio.js');
const { StreamableHTTPClientTransport } = require('@modelcontextprotocol/sdk/client/streamableHttp.js');

function transport([kind, target, ...rest]) {
  if (kind === 'stdio') {
    return new StdioClientTransport({ command: target, args: rest, env: process.env });
  }
  const headers = { Authorization: `Bearer ${rest[0]}` };
  return new StreamableHTTPClientTransport(new URL(target), { requestInit: { headers } });
}

async function main() {
  const answers = process.env.ANSWERS && JSON.parse(process.env.ANSWERS);
  const capabilities = answers ? { elicitation: {} } : {};
  const client = new Client({ name: 'typescript', version: '1' }, { capabilities });
  const questions = [];
  if (answers) {
    client.setRequestHandler(ElicitRequestSchema, async ({ params }) => {
      questions.push(params);
      return { action: 'accept', content: { decision: answers.shift() } };
    });
  }
  await client.connect(transport(process.argv.slice(2)));
  const call = (name, input) => client.callTool({ name, arguments: input });
  const seen = {
    server: client.getServerVersion(),
    tools: (await client.listTools()).tools,
  };
  for (const [step, { tool, input }] of Object.entries(JSON.parse(process.env.CALLS))) {
    seen[step] = await call(tool, input);
  }
  await client.close();
  console.log(JSON.stringify({ ...seen, questions }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
