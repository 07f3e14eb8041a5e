// grpc-js as the server of the official cases, as tests/src/bin/interop/cases.rs asks for it.
"use strict";
const fs = require("fs");
const path = require("path");
const tls = require("tls");
const grpc = require("@grpc/grpc-js");
const { TestService, payload, INITIAL, TRAILING } = require("./testing");

const { CERTIFICATES } = process.env;
const REFRESH_MS = 100;

function echo(call) {
  const [initial] = call.metadata.get(INITIAL);
  const [trailing] = call.metadata.get(TRAILING);
  if (initial !== undefined) {
    const metadata = new grpc.Metadata();
    metadata.set(INITIAL, initial);
    call.sendMetadata(metadata);
  }
  const trailers = new grpc.Metadata();
  if (trailing !== undefined) trailers.set(TRAILING, trailing);
  return trailers;
}

const asked = (status) => (status && status.code ? { code: status.code, details: status.message } : null);

async function respond(call, parameters) {
  for (const { size, interval_us } of parameters) {
    if (interval_us) await new Promise((resolve) => setTimeout(resolve, interval_us / 1000));
    call.write({ payload: payload(size) });
  }
}

const methods = {
  EmptyCall: (_, done) => done(null, {}),
  UnaryCall(call, done) {
    const trailers = echo(call);
    const { response_size, response_status } = call.request;
    done(asked(response_status), { payload: payload(response_size) }, trailers);
  },
  async StreamingOutputCall(call) {
    await respond(call, call.request.response_parameters);
    call.end();
  },
  StreamingInputCall(call, done) {
    let size = 0;
    call.on("data", (request) => (size += request.payload.body.length));
    call.on("end", () => done(null, { aggregated_payload_size: size }));
  },
  FullDuplexCall(call) {
    const trailers = echo(call);
    let answers = Promise.resolve();
    call.on("data", ({ response_status, response_parameters }) => {
      const failure = asked(response_status);
      answers = answers.then(() => (failure ? call.emit("error", failure) : respond(call, response_parameters)));
    });
    call.on("end", () => answers.then(() => call.end(trailers)));
    // A call that was cancelled.
    call.on("error", () => {});
  },
};

const file = (name) => path.join(CERTIFICATES, name);
const provider = new grpc.experimental.FileWatcherCertificateProvider({
  certificateFile: file("tls.crt"),
  privateKeyFile: file("tls.key"),
  caCertificateFile: file("ca.crt"),
  refreshIntervalMs: REFRESH_MS,
});

/** Whether the server takes connections: until the provider has read the files, it resets them. */
const isReady = (port) =>
  new Promise((resolve) => {
    const [cert, key] = ["tls.crt", "tls.key"].map((name) => fs.readFileSync(file(name)));
    const options = { host: "127.0.0.1", port, cert, key, ALPNProtocols: ["h2"], rejectUnauthorized: false };
    const socket = tls.connect(options, () => resolve(true)).on("error", () => resolve(false));
    socket.on("secureConnect", () => socket.destroy());
  });

const credentials = grpc.experimental.createCertificateProviderServerCredentials(provider, provider, true);
const server = new grpc.Server();
server.addService(TestService.service, methods);
server.bindAsync("127.0.0.1:0", credentials, async (error, port) => {
  if (error) throw error;
  while (!(await isReady(port))) await new Promise((resolve) => setTimeout(resolve, REFRESH_MS));
  const uncompressed = "a grpc-js server does not compress";
  const skipped = { server_compressed_unary: uncompressed, server_compressed_streaming: uncompressed };
  const invisible = "grpc-js does not show whether a message was compressed, so there is no probe";
  const partly = { client_compressed_unary: invisible, client_compressed_streaming: invisible };
  console.log("listening", port, JSON.stringify({ flags: false, skipped, partly }));
});
process.stdin
  .on("end", () =>
    server.tryShutdown(() => {
      console.log("{}");
      process.exit();
    }),
  )
  .resume();
