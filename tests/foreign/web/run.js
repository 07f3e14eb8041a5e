// Headless Chromium with pages of two origins, one of which may call: directly to our server by gRPC-Web, and through Envoy, which has a
// certificate for our server. Arguments: the greeter, Envoy, Chromium, a directory to work in.
'use strict';

const {spawn} = require('node:child_process');
const {createHash, X509Certificate} = require('node:crypto');
const fs = require('node:fs');
const https = require('node:https');
const net = require('node:net');
const path = require('node:path');
const readline = require('node:readline');

const puppeteer = require('puppeteer-core');

const [greeter, envoy, chromium, work] = process.argv.slice(2);
const LIMIT = 20_000;
const UNAUTHENTICATED = 16;
const DEADLINE_EXCEEDED = 4;

let passed = 0;
let failed = 0;
const check = (sentence, good, seen) => {
  if (good) passed++;
  else failed++;
  console.log(good ? `ok: ${sentence}` : `FAILED: ${sentence}: ${JSON.stringify(seen)}`);
};

const freePort = () => new Promise(resolve => {
  const server = net.createServer().listen(0, '127.0.0.1', () => {
    const {port} = server.address();
    server.close(() => resolve(port));
  });
});

const children = [];
const start = (command, args, options) => {
  const child = spawn(command, args, options);
  children.push(child);
  return child;
};

/** Serves the page on this port. */
const serve = port => new Promise(resolve => {
  const script = fs.readFileSync(path.join(work, 'bundle.js'));
  const tls = {cert: fs.readFileSync(path.join(work, 'page.crt')), key: fs.readFileSync(path.join(work, 'page.key'))};
  const server = https.createServer(tls, (request, response) => {
    if (request.url === '/bundle.js') return response.setHeader('content-type', 'text/javascript').end(script);
    response.setHeader('content-type', 'text/html').end('<!doctype html><title>page</title><script src="/bundle.js"></script>');
  }).listen(port, '127.0.0.1', () => resolve(server));
});

/** Envoy in front of the greeter's port for gRPC: it translates, it answers preflights, and it has a certificate. */
const startEnvoy = async (port, origin, upstream) => {
  const file = name => ({filename: path.join(work, name)});
  const types = 'type.googleapis.com/envoy.extensions';
  const filter = (name, type, more = {}) => ({name, typed_config: {'@type': `${types}.filters.http.${type}`, ...more}});
  const config = {
    static_resources: {
      listeners: [{
        address: {socket_address: {address: '127.0.0.1', port_value: port}},
        filter_chains: [{
          transport_socket: {
            name: 'tls',
            typed_config: {
              '@type': `${types}.transport_sockets.tls.v3.DownstreamTlsContext`,
              common_tls_context: {
                alpn_protocols: ['h2', 'http/1.1'],
                tls_certificates: [{certificate_chain: file('page.crt'), private_key: file('page.key')}],
              },
            },
          },
          filters: [{
            name: 'http',
            typed_config: {
              '@type': `${types}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
              stat_prefix: 'web',
              route_config: {
                virtual_hosts: [{
                  name: 'all',
                  domains: ['*'],
                  routes: [{match: {prefix: '/'}, route: {cluster: 'greeter', timeout: '0s'}}],
                  typed_per_filter_config: {
                    cors: {
                      '@type': `${types}.filters.http.cors.v3.CorsPolicy`,
                      allow_origin_string_match: [{exact: origin}],
                      allow_methods: 'POST',
                      allow_headers: 'authorization,content-type,grpc-timeout,x-grpc-web,x-user-agent',
                      expose_headers: 'grpc-status,grpc-message',
                    },
                  },
                }],
              },
              http_filters: [
                filter('grpc_web', 'grpc_web.v3.GrpcWeb'),
                filter('cors', 'cors.v3.Cors'),
                filter('router', 'router.v3.Router'),
              ],
            },
          }],
        }],
      }],
      clusters: [{
        name: 'greeter',
        load_assignment: {
          cluster_name: 'greeter',
          endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: '127.0.0.1', port_value: upstream}}}}]}],
        },
        typed_extension_protocol_options: {
          'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
            '@type': `${types}.upstreams.http.v3.HttpProtocolOptions`,
            explicit_http_config: {http2_protocol_options: {}},
          },
        },
        transport_socket: {
          name: 'tls',
          typed_config: {
            '@type': `${types}.transport_sockets.tls.v3.UpstreamTlsContext`,
            sni: 'localhost',
            common_tls_context: {
              tls_certificates: [{certificate_chain: file('proxy.crt'), private_key: file('proxy.key')}],
              tls_params: {tls_maximum_protocol_version: 'TLSv1_3'},
              validation_context: {
                trusted_ca: file('ca.crt'),
                match_typed_subject_alt_names: [{san_type: 'DNS', matcher: {exact: 'localhost'}}],
              },
            },
          },
        },
      }],
    },
  };
  const file_ = path.join(work, 'envoy.json');
  fs.writeFileSync(file_, JSON.stringify(config));
  const log = fs.openSync(path.join(work, 'envoy.log'), 'w');
  start(envoy, ['-c', file_, '--use-dynamic-base-id', '--concurrency', '1', '-l', 'warning'], {stdio: ['ignore', log, log]});
  for (const end = Date.now() + LIMIT; ;) {
    const open = await new Promise(resolve => {
      const socket = net.connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
      socket.on('connect', () => socket.end());
    });
    if (open) return;
    if (Date.now() > end) throw new Error(`Envoy does not listen: ${fs.readFileSync(path.join(work, 'envoy.log'), 'utf8').slice(-2000)}`);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
};

const greeted = ({replies, code}, count = 1) => code === 0 && replies.length === count && replies.every(reply => reply === 'Hello page!');
const barred = ({replies, code}) => replies.length === 0 && Number.isInteger(code) && code !== 0;
const refused = ({replies, code, message}) => replies.length === 0 && code === UNAUTHENTICATED && message.length > 0;

const main = async () => {
  const [home, elsewhere] = [await freePort(), await freePort()];
  const origin = `https://localhost:${home}`;
  const server = start(greeter, [work, origin], {stdio: ['pipe', 'pipe', 'inherit']});
  const lines = readline.createInterface({input: server.stdout})[Symbol.asyncIterator]();
  const {web, grpc, token, expired, foreign} = JSON.parse((await lines.next()).value);
  const ask = async what => {
    server.stdin.write(`${what}\n`);
    return (await lines.next()).value;
  };
  const handled = async () => Number(await ask('calls'));
  await serve(home);
  await serve(elsewhere);
  const proxy = await freePort();
  await startEnvoy(proxy, origin, grpc);

  // The browser is told of our certificates by their keys, and of nothing else.
  const keys = ['page.crt', 'server.crt'].map(name => {
    const key = new X509Certificate(fs.readFileSync(path.join(work, name))).publicKey.export({type: 'spki', format: 'der'});
    return createHash('sha256').update(key).digest('base64');
  });
  const browser = await puppeteer.launch({
    executablePath: chromium,
    headless: true,
    userDataDir: path.join(work, 'profile'),
    protocolTimeout: 2 * LIMIT,
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', `--ignore-certificate-errors-spki-list=${keys.join(',')}`],
  });
  const open = async port => {
    const page = await browser.newPage();
    await page.goto(`https://localhost:${port}/`, {timeout: LIMIT});
    return (what, call) => page.evaluate((name, argument) => window[name](argument), what, call);
  };
  const allowed = await open(home);
  const other = await open(elsewhere);

  const direct = `https://localhost:${web}`;
  const ended = await allowed('stream', {host: direct, format: 'text', token: await ask('token'), count: 0, interval: 100});
  check('a stream ends with its token, and tells its page so', ended.code === UNAUTHENTICATED && ended.replies.length > 0,
    {...ended, replies: ended.replies.length});
  for (const format of ['text', 'binary']) {
    const call = {host: direct, format, token};
    const answer = await allowed('unary', call);
    check(`a page reads a reply, as ${format}`, greeted(answer), answer);
    const streamed = await allowed('stream', call);
    check(`a page reads a stream to its end, as ${format}`, greeted(streamed, 3), streamed);
  }
  let before = await handled();
  for (const [what, bad] of [['without a token', undefined], ['with an expired token', expired], ["with another issuer's token", foreign]]) {
    for (const method of ['unary', 'stream']) {
      const answer = await allowed(method, {host: direct, format: 'text', token: bad});
      check(`a page that calls ${what} is told UNAUTHENTICATED (${method})`, refused(answer), answer);
    }
  }
  const raw = await allowed('raw', {host: direct});
  check('scripts may read the status in the headers', raw.grpcStatus === String(UNAUTHENTICATED) || raw.length > 0, raw);
  check('none of them reached a handler', (await handled()) === before, {before, after: await handled()});

  const late = await allowed('unary', {host: direct, format: 'text', token, headers: {'delay-ms': '3000'}, deadline: 300});
  check('a page is told that its deadline is over', late.code === DEADLINE_EXCEEDED, late);

  before = await handled();
  const unlisted = await allowed('unary', {host: direct, format: 'text', token, headers: {'x-unlisted': 'a'}});
  check('metadata that was not allowed is not sent', barred(unlisted), unlisted);
  for (const method of ['unary', 'stream']) {
    const answer = await other(method, {host: direct, format: 'text', token});
    check(`a page of another origin cannot call (${method})`, barred(answer), answer);
  }
  for (const contentType of ['text/plain', 'application/x-www-form-urlencoded']) {
    for (const [whose, page] of [['a page that may call', allowed], ['a page of another origin', other]]) {
      const answer = await page('simple', {host: direct, contentType});
      check(`${whose} sends ${contentType} without asking first, and sees nothing`, answer.type === 'opaque' || answer.type === 'error', answer);
    }
  }
  check('none of them reached a handler either', (await handled()) === before, {before, after: await handled()});

  const through = `https://localhost:${proxy}`;
  for (const format of ['text', 'binary']) {
    const call = {host: through, format, token};
    const answer = await allowed('unary', call);
    check(`through Envoy a page reads a reply, as ${format}`, greeted(answer), answer);
    const streamed = await allowed('stream', call);
    check(`through Envoy a page reads a stream to its end, as ${format}`, greeted(streamed, 3), streamed);
  }
  before = await handled();
  for (const bad of [undefined, expired]) {
    const answer = await allowed('unary', {host: through, format: 'text', token: bad});
    check(`through Envoy a page ${bad ? 'with an expired token' : 'without a token'} is told so`, refused(answer), answer);
  }
  const elsewhereThrough = await other('unary', {host: through, format: 'text', token});
  check('through Envoy a page of another origin cannot call', barred(elsewhereThrough), elsewhereThrough);
  check('none of them reached a handler through Envoy', (await handled()) === before, {before, after: await handled()});
  await browser.close();
};

main()
  .catch(error => check('the run comes to its end', false, String(error && error.stack)))
  .finally(() => {
    children.forEach(child => child.kill());
    console.log(`${passed + failed} checks, ${failed} failed`);
    process.exit(failed === 0 ? 0 : 1);
  });
