package trillian_test

import (
	"slices"
	"testing"

	"google.golang.org/grpc/reflection/grpc_reflection_v1"
)

// TestReflection: grpcurl and its like find the services by themselves.
func TestReflection(t *testing.T) {
	s := newSite(t, true)
	stream, err := grpc_reflection_v1.NewServerReflectionClient(s.conn).ServerReflectionInfo(t.Context())
	fatal(t, err)
	fatal(t, stream.Send(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}}))
	resp, err := stream.Recv()
	fatal(t, err)
	var names []string
	for _, service := range resp.GetListServicesResponse().GetService() {
		names = append(names, service.Name)
	}
	if !slices.Contains(names, "trillian.TrillianLog") || !slices.Contains(names, "trillian.TrillianAdmin") {
		t.Errorf("services: %q", names)
	}
}
