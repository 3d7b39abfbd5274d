namespace EventVault.Rpc.Server;

/// <summary>One connection of a client, for as long as any of its calls lasts. Thread-safe.</summary>
public sealed class RpcConnection
{
    private object? _state;

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
