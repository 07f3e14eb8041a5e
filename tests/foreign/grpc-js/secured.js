// A greeter in Node.js as gRPC's guides secure it: TLS or mutual TLS, a bearer token per call by call credentials, an interceptor that checks
// it and the roles that each method asks for, and grpc.health.v1. tests/foreign/secured.sh has it talk to ours.
"use strict";
const fs = require("fs");
const path = require("path");
const { parseArgs } = require("util");
const grpc = require("@grpc/grpc-js");
const jwt = require("jsonwebtoken");

const { status } = grpc;
const SAY_HELLO = "/greeter.v1.Greeter/SayHello";
const KEEP_GREETING = "/greeter.v1.Greeter/KeepGreeting";
const CHECK = "/grpc.health.v1.Health/Check";
const ROLES = { [SAY_HELLO]: ["greeter:call", "admin"], [KEEP_GREETING]: ["admin"] };
const REPLIES = 3;

const { values: args, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    dir: { type: "string" },
    mtls: { type: "boolean" },
    addr: { type: "string" },
    "token-file": { type: "string" },
    "key-file": { type: "string" },
    method: { type: "string", default: "SayHello" },
  },
});

const file = (name) => fs.readFileSync(path.join(args.dir, name));
// The messages by hand: protobuf fields of lengths and numbers below 128, one byte each.
const asIs = (buffer) => buffer;
const text = (words) => Buffer.concat([Buffer.from([0x0a, words.length]), Buffer.from(words)]);
const greeting = (request) => text(`Hello ${request.subarray(2, 2 + request[1])}!`);

function denial(method, metadata) {
  const sent = metadata.get("authorization");
  if (sent.length !== 1) return [status.UNAUTHENTICATED, "no token"];
  let claims;
  try {
    const wanted = { algorithms: ["ES256"], audience: "greeter", issuer: "https://issuer.example.org" };
    claims = jwt.verify(String(sent[0]).replace(/^Bearer /, ""), fs.readFileSync(args["key-file"]), wanted);
  } catch {
    return [status.UNAUTHENTICATED, "invalid token"];
  }
  const isAllowed = (ROLES[method] ?? []).some((role) => (claims.roles ?? []).includes(role));
  return isAllowed ? null : [status.PERMISSION_DENIED, "not allowed"];
}

// For unary calls and streams alike.
function admission(descriptor, call) {
  const onReceiveMetadata = (metadata, next) => {
    const why = descriptor.path === CHECK ? null : denial(descriptor.path, metadata);
    if (why === null) return next(metadata);
    call.sendStatus({ code: why[0], details: why[1] });
  };
  const listener = { onReceiveMetadata, onReceiveMessage: (m, next) => next(m), onReceiveHalfClose: (next) => next(), onCancel() {} };
  return new grpc.ServerInterceptingCall(call, { start: (next) => next(listener) });
}

function serve() {
  const chain = [{ private_key: file("tls.key"), cert_chain: file("tls.crt") }];
  const credentials = grpc.ServerCredentials.createSsl(args.mtls ? file("ca.crt") : null, chain, Boolean(args.mtls));
  const server = new grpc.Server({ interceptors: args["key-file"] ? [admission] : [] });
  const method = (path, responseStream) => ({
    path,
    requestStream: false,
    responseStream,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  });
  const definition = { SayHello: method(SAY_HELLO, false), KeepGreeting: method(KEEP_GREETING, true) };
  server.addService(definition, {
    SayHello: (call, done) => done(null, greeting(call.request)),
    KeepGreeting(call) {
      const count = call.request[2 + call.request[1] + 1];
      for (let i = 0; i < count; i++) call.write(greeting(call.request));
      call.end();
    },
  });
  server.addService({ Check: method(CHECK, false) }, { Check: (_, done) => done(null, Buffer.from([0x08, 1])) });
  server.bindAsync(args.addr, credentials, (error, port) => {
    if (error) throw error;
    console.log(`listening on 127.0.0.1:${port}`);
  });
}

function call() {
  let credentials = grpc.credentials.createSsl(file("ca.crt"), ...(args.mtls ? [file("tls.key"), file("tls.crt")] : []));
  if (args["token-file"]) {
    const authorization = `Bearer ${fs.readFileSync(args["token-file"], "utf8").trim()}`;
    const generator = (_, done) => {
      const metadata = new grpc.Metadata();
      metadata.set("authorization", authorization);
      done(null, metadata);
    };
    credentials = grpc.credentials.combineChannelCredentials(credentials, grpc.credentials.createFromMetadataGenerator(generator));
  }
  // An address is no server name, so the name on the certificate is given.
  const client = new grpc.Client(args.addr, credentials, { "grpc.ssl_target_name_override": "localhost" });
  const metadata = new grpc.Metadata();
  const options = { deadline: Date.now() + 20_000 };
  const name = (code) => status[code].split("_").map((word) => word[0] + word.slice(1).toLowerCase()).join("");
  const ended = (error, answer) => {
    if (error) {
      console.log(name(error.code));
      console.error(error.details);
    } else {
      console.log("OK", answer);
    }
    client.close();
  };
  if (args.method === "KeepGreeting") {
    const request = Buffer.concat([text("Node"), Buffer.from([0x10, REPLIES, 0x18, 1])]);
    const replies = client.makeServerStreamRequest(KEEP_GREETING, asIs, asIs, request, metadata, options);
    let count = 0;
    replies.on("data", () => (count += 1));
    replies.on("error", ended);
    replies.on("end", () => count === REPLIES && ended(null, `${count} replies`));
  } else {
    const [method, request] = args.method === "Check" ? [CHECK, Buffer.alloc(0)] : [SAY_HELLO, text("Node")];
    const answer = (reply) => (args.method === "Check" ? (reply[1] === 1 ? "SERVING" : "NOT_SERVING") : reply.subarray(2));
    client.makeUnaryRequest(method, asIs, asIs, request, metadata, options, (error, reply) => ended(error, error ? null : String(answer(reply))));
  }
}

positionals[0] === "server" ? serve() : call();
