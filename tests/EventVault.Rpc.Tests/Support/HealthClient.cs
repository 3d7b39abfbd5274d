using EventVault.Rpc.Server.Health;

namespace EventVault.Rpc.Tests.Support;

internal static class HealthClient
{
    public static readonly RpcMethod<HealthCheckRequest, HealthCheckResponse> Check = RpcMethod<HealthCheckRequest, HealthCheckResponse>.Of(HealthReflection.Descriptor.Services[0], "Check");
    public static readonly RpcMethod<HealthCheckRequest, HealthCheckResponse> Watch = RpcMethod<HealthCheckRequest, HealthCheckResponse>.Of(HealthReflection.Descriptor.Services[0], "Watch");
}
