// A registry as npm speaks to it, on this machine: `node registry.cjs FOLDER`. FOLDER has a folder for
// each NAME@VERSION of scope @acme, as it would be packed. Prints its port.
const { createHash } = require('node:crypto');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');

const root = process.argv[2];

function pack(folder) {
  const packed = execFileSync('tar', ['-C', root, '-cz', `--transform=s,^${folder},package,`, folder]);
  return packed;
}

function answer(request) {
  const url = decodeURIComponent(request.url);
  const tarball = /^\/tarball\/(.+)\.tgz$/.exec(url);
  if (tarball) return pack(tarball[1]);
  const name = /^\/@acme\/([a-z-]+)$/.exec(url);
  const folders = name ? fs.readdirSync(root).filter((f) => f.startsWith(`${name[1]}@`)).sort() : [];
  if (folders.length === 0) return null;
  const versions = {};
  for (const folder of folders) {
    const manifest = JSON.parse(fs.readFileSync(path.join(root, folder, 'package.json')));
    const integrity = `sha512-${createHash('sha512').update(pack(folder)).digest('base64')}`;
    const place = `http://127.0.0.1:${server.address().port}/tarball/${encodeURIComponent(folder)}.tgz`;
    versions[manifest.version] = { ...manifest, dist: { integrity, tarball: place } };
  }
  const latest = Object.keys(versions).at(-1);
  return Buffer.from(JSON.stringify({ name: `@acme/${name[1]}`, 'dist-tags': { latest }, versions }));
}

const server = http.createServer((request, response) => {
  const body = answer(request);
  response.writeHead(body ? 200 : 404);
  response.end(body ?? '{}');
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
