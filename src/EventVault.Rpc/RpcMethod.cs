using Google.Protobuf;
using Google.Protobuf.Reflection;

namespace EventVault.Rpc;

/// <summary>A method of a service with its message types. Immutable.</summary>
/// <typeparam name="TRequest">The generated request message.</typeparam>
/// <typeparam name="TResponse">The generated response message.</typeparam>
public sealed class RpcMethod<TRequest, TResponse>
    where TRequest : class, IMessage<TRequest>, new()
    where TResponse : class, IMessage<TResponse>, new()
{
    private static readonly MessageParser<TRequest> Requests = new(static () => new TRequest());
    private static readonly MessageParser<TResponse> Responses = new(static () => new TResponse());
    private readonly string _name;
    private MethodDescriptor? _descriptor;

    private RpcMethod(RpcService service, string name)
    {
        (Service, _name) = (service, name);
        Path = $"/{service.FullName}/{name}";
    }

    /// <summary>The service that it belongs to.</summary>
    public RpcService Service { get; }

    /// <summary>The method's descriptor: name, kind, options. Made when it is first asked for.</summary>
    /// <exception cref="ArgumentException">The service has no such method, or its messages are of other types.</exception>
    public MethodDescriptor Descriptor => _descriptor ??= Describe();

    /// <summary>Whether its descriptor is there, and was found right.</summary>
    internal bool IsDescribed => _descriptor is not null;

    /// <summary>The path of the HTTP request, <c>/package.Service/Method</c>.</summary>
    public string Path { get; }

#pragma warning disable CA1822 // One for all methods with these messages, and still the method's.
    internal MessageParser<TRequest> RequestParser => Requests;

    internal MessageParser<TResponse> ResponseParser => Responses;
#pragma warning restore CA1822

    /// <summary>Finds a method and checks the message types.</summary>
    /// <param name="service">The generated service descriptor.</param>
    /// <param name="name">The method's name as in the proto file.</param>
    /// <returns>The method.</returns>
    /// <exception cref="ArgumentException">The service has no such method, or its messages are of other types.</exception>
#pragma warning disable CA1000 // RpcMethod<A, B>.Of(...) reads as intended: the types are what is being checked.
    public static RpcMethod<TRequest, TResponse> Of(ServiceDescriptor service, string name)
    {
        var method = new RpcMethod<TRequest, TResponse>(RpcService.Of(service), name);
        _ = method.Descriptor;
        return method;
    }

    /// <summary>A method of a service whose descriptor may come later: name and message types are checked when it is asked for.</summary>
    /// <param name="service">The service.</param>
    /// <param name="name">The method's name as in the proto file.</param>
    /// <returns>The method.</returns>
    public static RpcMethod<TRequest, TResponse> Of(RpcService service, string name)
#pragma warning restore CA1000
    {
        ArgumentNullException.ThrowIfNull(service);
        return new RpcMethod<TRequest, TResponse>(service, name);
    }

    /// <inheritdoc/>
    public override string ToString() => Path;

    private MethodDescriptor Describe()
    {
        var service = Service.Descriptor;
        var found = service.FindMethodByName(_name)
            ?? throw new ArgumentException($"Service {service.FullName} has no method {_name}; it has {string.Join(", ", service.Methods.Select(m => m.Name))}.");
        return found.InputType.ClrType == typeof(TRequest) && found.OutputType.ClrType == typeof(TResponse)
            ? found
            : throw new ArgumentException(
                $"{found.FullName} takes {found.InputType.ClrType.Name} and returns {found.OutputType.ClrType.Name}, not {typeof(TRequest).Name} and {typeof(TResponse).Name}.");
    }
}
