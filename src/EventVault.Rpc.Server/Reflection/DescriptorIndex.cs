using Google.Protobuf.Reflection;

namespace EventVault.Rpc.Server.Reflection;

// All files that the services of a server need, by name and by the full names in them. Built once, then only read.
internal sealed class DescriptorIndex
{
    private readonly Dictionary<string, FileDescriptor> _files = new(StringComparer.Ordinal);
    private readonly Dictionary<string, FileDescriptor> _symbols = new(StringComparer.Ordinal);

    public DescriptorIndex(IEnumerable<ServiceDescriptor> described)
    {
        var services = described.ToList();
        ServiceNames = [.. services.Select(s => s.FullName)];
        foreach (var file in services.SelectMany(s => WithDependencies(s.File)))
        {
            if (!_files.TryAdd(file.Name, file))
            {
                continue;
            }

            foreach (var service in file.Services)
            {
                _symbols[service.FullName] = file;
                foreach (var method in service.Methods)
                {
                    _symbols[method.FullName] = file;
                }
            }

            foreach (var message in file.MessageTypes)
            {
                AddMessage(message);
            }

            foreach (var type in file.EnumTypes)
            {
                AddEnum(type);
            }
        }
    }

    public IReadOnlyList<string> ServiceNames { get; }

    public FileDescriptor? FindFile(string name) => _files.GetValueOrDefault(name);

    public FileDescriptor? FindSymbol(string fullName) => _symbols.GetValueOrDefault(fullName);

    public static IReadOnlyList<FileDescriptor> WithDependencies(FileDescriptor file)
    {
        var found = new List<FileDescriptor> { file };
        for (var i = 0; i < found.Count; i++)
        {
            foreach (var dependency in found[i].Dependencies)
            {
                if (!found.Contains(dependency))
                {
                    found.Add(dependency);
                }
            }
        }

        return found;
    }

    private void AddMessage(MessageDescriptor message)
    {
        _symbols[message.FullName] = message.File;
        foreach (var field in message.Fields.InDeclarationOrder())
        {
            _symbols[field.FullName] = message.File;
        }

        foreach (var nested in message.NestedTypes)
        {
            AddMessage(nested);
        }

        foreach (var type in message.EnumTypes)
        {
            AddEnum(type);
        }
    }

    private void AddEnum(EnumDescriptor type)
    {
        _symbols[type.FullName] = type.File;
        foreach (var value in type.Values)
        {
            _symbols[value.FullName] = type.File;
        }
    }
}
