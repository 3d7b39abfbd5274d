using Google.Protobuf.Reflection;

namespace EventVault.Rpc;

/// <summary>
/// A service by its name, and its descriptor for when that is asked for: making it reads the description of every message of its file, with
/// reflection, which takes tens of milliseconds, and neither calling a method nor serving it needs it. Thread-safe.
/// </summary>
/// <param name="fullName">The name, <c>package.Service</c>.</param>
/// <param name="describe">Gives the generated descriptor of the service.</param>
public sealed class RpcService(string fullName, Func<ServiceDescriptor> describe)
{
    private ServiceDescriptor? _descriptor;

    /// <summary>The name, <c>package.Service</c>.</summary>
    public string FullName => fullName;

    /// <summary>The generated descriptor.</summary>
    /// <exception cref="InvalidOperationException">It is the one of another service.</exception>
    public ServiceDescriptor Descriptor => _descriptor ??= Describe();

    /// <summary>A service whose descriptor is there already.</summary>
    /// <param name="descriptor">The generated descriptor.</param>
    /// <returns>The service.</returns>
    public static RpcService Of(ServiceDescriptor descriptor)
    {
        ArgumentNullException.ThrowIfNull(descriptor);
        return new RpcService(descriptor.FullName, () => descriptor);
    }

    /// <inheritdoc/>
    public override string ToString() => FullName;

    private ServiceDescriptor Describe()
    {
        var found = describe();
        return found.FullName == FullName ? found : throw new InvalidOperationException($"The descriptor for {FullName} is the one of {found.FullName}.");
    }
}
