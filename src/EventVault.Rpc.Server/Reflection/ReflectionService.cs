using Google.Protobuf.Reflection;

namespace EventVault.Rpc.Server.Reflection;

/// <summary>
/// The standard reflection service, <c>grpc.reflection.v1</c> and, with the same bytes, <c>v1alpha</c>: tells generic
/// clients such as grpcurl what the server has. It shows the shape of all services to whoever may call it.
/// </summary>
public static class ReflectionService
{
    private const string OldName = "grpc.reflection.v1alpha.ServerReflection";

    /// <summary>Adds the service to a server. Add it last: it describes the services that were added before, and itself.</summary>
    /// <param name="server">The server.</param>
    /// <exception cref="ArgumentException">The server has a reflection service already.</exception>
    public static void AddTo(RpcServer server)
    {
        ArgumentNullException.ThrowIfNull(server);
        var service = new RpcService("grpc.reflection.v1.ServerReflection", static () => ReflectionReflection.Descriptor.Services[0]);
        var files = new Lazy<DescriptorIndex>(() => new DescriptorIndex(server.Services.Select(s => s.Descriptor)));
        server.Duplex(
            RpcMethod<ServerReflectionRequest, ServerReflectionResponse>.Of(service, "ServerReflectionInfo"),
            (reader, writer, context) => AnswerAsync(files.Value, reader, writer));
        server.Alias(service, OldName);
    }

    private static async ValueTask AnswerAsync(DescriptorIndex index, RpcReader<ServerReflectionRequest> reader, RpcWriter<ServerReflectionResponse> writer)
    {
        while (await reader.MoveNextAsync().ConfigureAwait(false))
        {
            await writer.WriteAsync(Answer(index, reader.Current)).ConfigureAwait(false);
        }
    }

    private static ServerReflectionResponse Answer(DescriptorIndex index, ServerReflectionRequest request)
    {
        var response = new ServerReflectionResponse { ValidHost = request.Host, OriginalRequest = request };
        switch (request.MessageRequestCase)
        {
            case ServerReflectionRequest.MessageRequestOneofCase.ListServices:
                response.ListServicesResponse = new ListServiceResponse();
                response.ListServicesResponse.Service.AddRange(index.ServiceNames.Select(name => new ServiceResponse { Name = name }));
                break;
            case ServerReflectionRequest.MessageRequestOneofCase.FileByFilename:
                AddFile(response, index.FindFile(request.FileByFilename), $"file {request.FileByFilename}");
                break;
            case ServerReflectionRequest.MessageRequestOneofCase.FileContainingSymbol:
                AddFile(response, index.FindSymbol(request.FileContainingSymbol), $"symbol {request.FileContainingSymbol}");
                break;
            case ServerReflectionRequest.MessageRequestOneofCase.FileContainingExtension:
                response.ErrorResponse = NotFound($"extension {request.FileContainingExtension.ExtensionNumber} of {request.FileContainingExtension.ContainingType}");
                break;
            case ServerReflectionRequest.MessageRequestOneofCase.AllExtensionNumbersOfType:
                // proto3 has no extensions; a known type has none of them, an unknown one is an error.
                if (index.FindSymbol(request.AllExtensionNumbersOfType) is null)
                {
                    response.ErrorResponse = NotFound($"type {request.AllExtensionNumbersOfType}");
                }
                else
                {
                    response.AllExtensionNumbersResponse = new ExtensionNumberResponse { BaseTypeName = request.AllExtensionNumbersOfType };
                }

                break;
            default:
                response.ErrorResponse = new ErrorResponse { ErrorCode = (int)RpcCode.InvalidArgument, ErrorMessage = "The request asks for nothing that is known here." };
                break;
        }

        return response;
    }

    private static void AddFile(ServerReflectionResponse response, FileDescriptor? file, string what)
    {
        if (file is null)
        {
            response.ErrorResponse = NotFound(what);
            return;
        }

        response.FileDescriptorResponse = new FileDescriptorResponse();
        response.FileDescriptorResponse.FileDescriptorProto.AddRange(DescriptorIndex.WithDependencies(file).Select(f => f.SerializedData));
    }

    private static ErrorResponse NotFound(string what) => new() { ErrorCode = (int)RpcCode.NotFound, ErrorMessage = $"This server has no {what}." };
}
