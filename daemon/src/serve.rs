//! The gRPC services on the workload socket and the admin socket.
