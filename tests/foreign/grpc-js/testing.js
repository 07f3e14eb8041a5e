// The official test service, from its .proto file, and what is mounted in the kubelet's volume that CERTIFICATES names.
"use strict";
const fs = require("fs");
const path = require("path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { CERTIFICATES } = process.env;
const definition = loader.loadSync(path.join(__dirname, "../../proto/testing.proto"), { keepCase: true, longs: Number, defaults: true });
const { TestService } = grpc.loadPackageDefinition(definition).grpc.testing;

const current = () => fs.readlinkSync(path.join(CERTIFICATES, "..data"));

// Bundle, key and chain of one set; one that is swapped away meanwhile is read anew.
function mounted() {
  for (;;) {
    try {
      const directory = path.join(CERTIFICATES, current());
      return ["ca.crt", "tls.key", "tls.crt"].map((name) => fs.readFileSync(path.join(directory, name)));
    } catch (error) {
      if (error.code !== "ENOENT") throw error;
    }
  }
}

const payload = (size) => ({ body: Buffer.alloc(size) });

module.exports = {
  TestService,
  current,
  mounted,
  payload,
  INITIAL: "x-grpc-test-echo-initial",
  TRAILING: "x-grpc-test-echo-trailing-bin",
};
