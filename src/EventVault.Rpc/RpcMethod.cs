using Google.Protobuf;
using Google.Protobuf.Reflection;

namespace EventVault.Rpc;

/// <summary>A method of a service with its message types, checked against the service's descriptor. Immutable.</summary>
/// <typeparam name="TRequest">The generated request message.</typeparam>
/// <typeparam name="TResponse">The generated response message.</typeparam>
public sealed class RpcMethod<TRequest, TResponse>
    where TRequest : class, IMessage<TRequest>, new()
    where TResponse : class, IMessage<TResponse>, new()
{
    private RpcMethod(MethodDescriptor descriptor)
    {
        Descriptor = descriptor;
        Path = $"/{descriptor.Service.FullName}/{descriptor.Name}";
        RequestParser = (MessageParser<TRequest>)descriptor.InputType.Parser;
        ResponseParser = (MessageParser<TResponse>)descriptor.OutputType.Parser;
    }

    /// <summary>The method's descriptor: name, kind, options.</summary>
    public MethodDescriptor Descriptor { get; }

    /// <summary>The path of the HTTP request, <c>/package.Service/Method</c>.</summary>
    public string Path { get; }

    internal MessageParser<TRequest> RequestParser { get; }

    internal MessageParser<TResponse> ResponseParser { get; }

    /// <summary>Finds a method and checks the message types.</summary>
    /// <param name="service">The generated service descriptor.</param>
    /// <param name="name">The method's name as in the proto file.</param>
    /// <returns>The method.</returns>
    /// <exception cref="ArgumentException">The service has no such method, or its messages are of other types.</exception>
#pragma warning disable CA1000 // RpcMethod<A, B>.Of(...) reads as intended: the types are what is being checked.
    public static RpcMethod<TRequest, TResponse> Of(ServiceDescriptor service, string name)
#pragma warning restore CA1000
    {
        ArgumentNullException.ThrowIfNull(service);
        var descriptor = service.FindMethodByName(name)
            ?? throw new ArgumentException($"Service {service.FullName} has no method {name}; it has {string.Join(", ", service.Methods.Select(m => m.Name))}.", nameof(name));
        if (descriptor.InputType.ClrType != typeof(TRequest) || descriptor.OutputType.ClrType != typeof(TResponse))
        {
            throw new ArgumentException(
                $"{descriptor.FullName} takes {descriptor.InputType.ClrType.Name} and returns {descriptor.OutputType.ClrType.Name}, "
                + $"not {typeof(TRequest).Name} and {typeof(TResponse).Name}.",
                nameof(name));
        }

        return new RpcMethod<TRequest, TResponse>(descriptor);
    }

    /// <inheritdoc/>
    public override string ToString() => Path;
}
