using Microsoft.AspNetCore.Connections.Features;

namespace EventVault.Rpc.Server;

/// <summary>One connection of a client, for as long as any of its calls lasts. Thread-safe.</summary>
public sealed class RpcConnection
{
    private readonly IConnectionLifetimeNotificationFeature? _lifetime;
    private object? _state;
    private volatile object? _shown;

    internal RpcConnection(IConnectionLifetimeNotificationFeature? lifetime) => _lifetime = lifetime;

    /// <summary>One that no client stands behind.</summary>
    public RpcConnection()
    {
    }

    /// <summary>What the application keeps of whoever is at the other end, from the handshake on; null until it does.</summary>
    public object? Shown
    {
        get => _shown;
        set => _shown = value;
    }

    /// <summary>
    /// Has the client go on over another connection: this one takes no new calls, and closes when those that are open have ended. Again it
    /// changes nothing.
    /// </summary>
    public void Retire() => _lifetime?.RequestClose();

    /// <summary>What the application keeps for the connection: made at its first use, the same for all calls.</summary>
    /// <typeparam name="T">Of one type for a connection.</typeparam>
    /// <returns>The connection's.</returns>
    /// <exception cref="InvalidCastException">Something of another type is kept for it.</exception>
    public T State<T>()
        where T : class, new()
    {
        var state = Volatile.Read(ref _state);
        if (state is null)
        {
            var made = new T();
            state = Interlocked.CompareExchange(ref _state, made, null) ?? made;
        }

        return (T)state;
    }
}
