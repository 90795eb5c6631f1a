// As session.cjs, by the TypeScript SDK's second major version.
//
//   session2.cjs MODE stdio COMMAND [ARGUMENT..]      session2.cjs MODE http URL TOKEN
//
// MODE is `auto` (the newest era first) or `legacy` (`initialize`).
const { Client, StreamableHTTPClientTransport } = require('@modelcontextprotocol/client');
const { StdioClientTransport } = require('@modelcontextprotocol/client/stdio');

function transport([kind, target, ...rest]) {
  if (kind === 'stdio') {
    return new StdioClientTransport({ command: target, args: rest, env: process.env });
  }
  const headers = { Authorization: `Bearer ${rest[0]}` };
  return new StreamableHTTPClientTransport(new URL(target), { requestInit: { headers } });
}

async function main() {
  const [mode, ...server] = process.argv.slice(2);
  const about = { name: 'typescript', version: '2' };
  const client = new Client(about, { versionNegotiation: { mode } });
  await client.connect(transport(server));
  const seen = { tools: (await client.listTools()).tools };
  for (const [step, { tool, input }] of Object.entries(JSON.parse(process.env.CALLS))) {
    seen[step] = await client.callTool({ name: tool, arguments: input });
  }
  await client.close();
  console.log(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
