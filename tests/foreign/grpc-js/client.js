// A grpc-js client of the greeter, as tests/src/bin/interop/foreign.rs asks for it.
"use strict";
const fs = require("fs");
const path = require("path");
const grpc = require("@grpc/grpc-js");

const { CERTIFICATES, SERVER } = process.env;
const REPLIES = 100;
const outcome = { calls: 0, streams: 0, replies: 0, failed: 0, first_failure: null };

function fail(why) {
  outcome.failed += 1;
  outcome.first_failure ??= String(why);
}

// The greeter's messages by hand: protobuf fields of lengths and numbers below 128, one byte each.
const hello = (name) => Buffer.concat([Buffer.from([0x0a, name.length]), Buffer.from(name)]);
const keepGreeting = (name, interval) => Buffer.concat([hello(name), Buffer.from([0x10, REPLIES, 0x18, interval])]);
const asIs = (buffer) => buffer;
const within = (seconds) => ({ deadline: Date.now() + seconds * 1000 });

const current = () => fs.readlinkSync(path.join(CERTIFICATES, "..data"));

// Key, chain and bundle of one set; synchronous, so no swap of the same thread falls in between, and one of another is read again.
function credentials() {
  for (;;) {
    try {
      const directory = path.join(CERTIFICATES, current());
      const [bundle, key, chain] = ["ca.crt", "tls.key", "tls.crt"].map((name) => fs.readFileSync(path.join(directory, name)));
      return grpc.credentials.createSsl(bundle, key, chain);
    } catch (error) {
      if (error.code !== "ENOENT") throw error;
    }
  }
}

// Unary calls without a pause, short streams and long ones, on one channel.
class Load {
  constructor() {
    // An address is no server name, so the name on the certificate is given.
    this.client = new grpc.Client(SERVER, credentials(), { "grpc.ssl_target_name_override": "localhost" });
    this.stopping = false;
    const loops = [() => this.call(), () => this.call(), () => this.call(), () => this.stream(20), () => this.stream(60)];
    this.loops = loops.map((loop) => this.untilStopped(loop));
  }

  async untilStopped(loop) {
    while (!this.stopping) await loop().catch(fail);
  }

  call() {
    return new Promise((resolve, reject) => {
      const answer = (error, reply) => {
        if (error) return reject(error);
        if (!reply.equals(hello("Hello grpc-js!"))) fail(`another reply: ${reply}`);
        outcome.calls += 1;
        resolve();
      };
      this.client.makeUnaryRequest("/greeter.v1.Greeter/SayHello", asIs, asIs, hello("grpc-js"), new grpc.Metadata(), within(20), answer);
    });
  }

  stream(interval) {
    return new Promise((resolve, reject) => {
      const request = keepGreeting("grpc-js", interval);
      const replies = this.client.makeServerStreamRequest("/greeter.v1.Greeter/KeepGreeting", asIs, asIs, request, within(60));
      let count = 0;
      replies.on("data", () => (count += 1));
      replies.on("error", reject);
      replies.on("end", () => {
        if (count !== REPLIES) fail(`${REPLIES - count} of ${REPLIES} replies are missing`);
        outcome.streams += 1;
        outcome.replies += count;
        resolve();
      });
    });
  }

  // Lets what runs finish.
  async stop() {
    this.stopping = true;
    await Promise.all(this.loops);
    this.client.close();
  }
}

async function main() {
  let ended = false;
  process.stdin.on("end", () => (ended = true)).resume();
  let mounted = current();
  let load = new Load();
  while (!ended) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    if (current() !== mounted) {
      mounted = current();
      const superseded = load;
      load = new Load();
      await superseded.stop();
      console.log("moved");
    }
  }
  await load.stop();
  console.log(JSON.stringify(outcome));
}

main();
