using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace EventVault.Admin;

/// <summary>A command whose help ends with examples.</summary>
/// <param name="name">Name of the command.</param>
/// <param name="description">What it does, as its parent's help lists it.</param>
/// <param name="examples">Command lines and what they do, one a line.</param>
internal sealed class CommandWithExamples(string name, string description, params string[] examples) : Command(name, description)
{
    /// <summary>The examples.</summary>
    public IReadOnlyList<string> Examples { get; } = examples;

    /// <summary>Shows the library's help, and behind it the examples of a command that has some.</summary>
    /// <param name="help">The library's help.</param>
    public sealed class Help(HelpAction help) : SynchronousCommandLineAction
    {
        public override int Invoke(ParseResult parseResult)
        {
            var code = help.Invoke(parseResult);
            if (parseResult.CommandResult.Command is CommandWithExamples { Examples: var examples })
            {
                var output = parseResult.InvocationConfiguration.Output;
                output.WriteLine("Examples:");
                foreach (var example in examples)
                {
                    output.WriteLine("  vault-admin " + example);
                }

                output.WriteLine();
            }

            return code;
        }
    }
}
